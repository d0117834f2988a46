/** @type {import('next').NextConfig} */
export default {
  output: 'standalone', // a folder that runs without npm: what the image and the tests start
  outputFileTracingRoot: import.meta.dirname,
  turbopack: { root: import.meta.dirname },
  images: { unoptimized: true }, // pictures come from the shop as they are; no image library runs here
  poweredByHeader: false,
  typescript: { ignoreBuildErrors: true }, // `npm run lint` checks types
};
