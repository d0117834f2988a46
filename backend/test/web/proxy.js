/** A proxy to a server that can be cut, closed and frozen, as if the server were killed or hung. */
import { once } from 'node:events';
import net from 'node:net';

/**
 * Listen on a port of its own and pass everything on.
 *
 * @param {{host: string, port: number}} target
 */
export async function openProxy(target) {
  const pairs = new Set();
  let state = 'open';
  const server = net.createServer((near) => {
    if (state === 'closed') {
      near.destroy();
      return;
    }
    const far = net.connect(target);
    const pair = [near, far];
    pairs.add(pair);
    for (const socket of pair) {
      socket.on('error', () => {}).on('close', () => {
        pairs.delete(pair);
        for (const one of pair) one.destroy();
      });
    }
    near.pipe(far);
    far.pipe(near);
    if (state === 'frozen') freeze(pair);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
  };
  return {
    port: server.address().port,
    /** As if the server were killed: connections break, new ones are dropped. */
    close() {
      state = 'closed';
      cut();
    },
    /** As if it were stopped: connections stay, and nothing comes. */
    freeze() {
      state = 'frozen';
      pairs.forEach(freeze);
    },
    /** As if it were started again: what was frozen goes on. */
    open() {
      const wasFrozen = state === 'frozen';
      state = 'open';
      if (!wasFrozen) return; // a second pipe would say everything twice
      for (const [near, far] of pairs) {
        near.pipe(far);
        far.pipe(near);
      }
    },
    async end() {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}

function freeze([near, far]) {
  near.unpipe(far).pause();
  far.unpipe(near).pause();
}
