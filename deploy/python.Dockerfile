# The Python side, from the project's folder: two images with one base.
#
#     docker build -f deploy/python.Dockerfile --target recommendation .    the HTTP service, without TensorFlow
#     docker build -f deploy/python.Dockerfile --target jobs .              workers, Beat and trainings, with it

FROM python:3.13-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/venv/bin:$PATH MODELS_DIR=/models
RUN useradd --uid 10001 --create-home recsys \
    && install --directory --owner=recsys --group=recsys /models /shop
WORKDIR /app

FROM python:3.13-slim-bookworm AS serving-packages
RUN python -m venv /venv
COPY requirements/service.txt .
RUN /venv/bin/pip install --no-cache-dir --require-hashes --requirement service.txt

FROM python:3.13-slim-bookworm AS training-packages
# scikit-surprise has no wheel for every Python: it is compiled here, and the compiler stays behind.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt

FROM base AS recommendation
COPY --from=serving-packages /venv /venv
COPY recsys recsys
USER recsys
EXPOSE 8001
CMD ["python", "-m", "recsys.service"]

FROM base AS jobs
# OpenMP, for the libraries that train.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY --from=training-packages /venv /venv
COPY recsys recsys
COPY scripts scripts
COPY demo demo
COPY train.py recommend_api.py ./
USER recsys
CMD ["celery", "-A", "recsys.jobs.app", "worker", "--concurrency", "2", "--loglevel", "info"]
