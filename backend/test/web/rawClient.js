/** Clients that write and read bytes, for invalid requests and for connections that are reset. */
import { once } from 'node:events';
import net from 'node:net';

/** Return all that a server says to some bytes until it ends the connection; it throws where that is reset. */
export async function rawAnswer(port, bytes) {
  const client = await rawClient(port);
  client.write(bytes);
  return client.all();
}

/**
 * Connect.
 *
 * @returns {Promise<{write: (bytes: string) => void, until: (pattern: RegExp) => Promise<string>, all: () => Promise<string>, end: () => void}>} `until`
 *   resolves to what has come once it fits; `all` to everything, at the end, and rejects where the connection was reset.
 */
export async function rawClient(port) {
  const socket = net.connect(port, '127.0.0.1').setEncoding('utf8');
  let text = '';
  const ended = new Promise((resolve, reject) => socket.on('end', resolve).on('error', reject));
  ended.catch(() => {}); // asked for by `all`
  socket.on('data', (more) => (text += more));
  await once(socket, 'connect');
  return {
    write: (bytes) => socket.write(bytes),
    async until(pattern) {
      while (!pattern.test(text)) await once(socket, 'data');
      return text;
    },
    async all() {
      await ended;
      socket.end();
      return text;
    },
    end: () => socket.destroy(),
  };
}
