# The Express server with its page, and the Python processes that it asks, without TensorFlow. From the project's folder:
#
#     docker build -f deploy/express.Dockerfile .

FROM node:22-bookworm-slim AS page
WORKDIR /app/frontend
COPY frontend/package.json frontend/package-lock.json frontend/.npmrc ./
RUN npm ci
COPY frontend .
RUN npm run build

FROM node:22-bookworm-slim AS packages
WORKDIR /app/backend
COPY backend/package.json backend/package-lock.json backend/.npmrc ./
RUN npm ci --omit=dev

FROM python:3.13-slim-bookworm AS serving-packages
RUN python -m venv /venv
COPY requirements/serve.txt .
RUN /venv/bin/pip install --no-cache-dir --require-hashes --requirement serve.txt

FROM python:3.13-slim-bookworm AS express
ENV NODE_ENV=production HOST=0.0.0.0 PYTHON_BIN=/venv/bin/python MODELS_DIR=/models SPOOL_DIR=/shop/spool
RUN useradd --uid 10001 --create-home recsys \
    && install --directory --owner=recsys --group=recsys /models /shop
WORKDIR /app
COPY --from=node:22-bookworm-slim /usr/local/bin/node /usr/local/bin/node
COPY --from=serving-packages /venv /venv
COPY recsys recsys
COPY recommend_api.py .
COPY scripts/experiment.py scripts/experiment.py
COPY backend backend
COPY --from=packages /app/backend/node_modules backend/node_modules
COPY --from=page /app/frontend/dist frontend/dist
USER recsys
EXPOSE 6969
CMD ["node", "backend/src/server.js"]
