/** Vite's development server, with the mock server behind it. With API_URL, another server is behind it instead. */
import { createServer } from 'vite';
import { PASSWORD, startMock } from './mockServer.js';
import { USERS } from './mockShop.js';

if (!process.env.API_URL) {
  const mock = await startMock();
  process.env.API_URL = mock.url;
  for (const { email, isAdmin } of USERS) console.log(`${isAdmin ? 'administrator' : 'customer     '}  ${email}  ${PASSWORD}`);
}
const server = await createServer();
await server.listen();
server.printUrls();
