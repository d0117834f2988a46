# The Next.js shop. From the project's folder:
#
#     docker build -f deploy/nextjs.Dockerfile .

FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY integrations/nextjs/package.json integrations/nextjs/package-lock.json integrations/nextjs/.npmrc ./
RUN npm ci
COPY integrations/nextjs .
RUN npm run build

FROM node:22-bookworm-slim AS storefront
ENV NODE_ENV=production NEXT_TELEMETRY_DISABLED=1 HOSTNAME=0.0.0.0 PORT=3000
WORKDIR /app
COPY --from=build /app/.next/standalone .
USER node
EXPOSE 3000
CMD ["node", "server.js"]
