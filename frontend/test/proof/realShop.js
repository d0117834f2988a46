/** A trained shop behind the real server, which a test may stop, starve of Python, or cut off from its database. */
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { until } from '../browser/setUp.js';

const BACKEND = fileURLToPath(new URL('../../../backend/', import.meta.url));
const FIRST_PORT = 20_000; // below those that systems give to outgoing connections, so that it is still free after a pause
const N_PORTS = 8000;
const READY_MS = 60_000;

/** Who can sign in. The last has no events. */
export const ADMINISTRATOR = 1;
export const CUSTOMERS = [7, 8, 9, 10, 11, 12, 13];
export const STRANGER = 500;

/** The active product that is most viewed, and the next ones. */
export const POPULAR = [101, 102, 103];

/** Names that were not made for pages, by product. */
export const HOSTILE = {
  139: '<img src=x onerror="globalThis.isHacked = true">',
  138: '</script><script>globalThis.isHacked = true</script>\u0000\u001b[31m',
  137: 'قهوة طازجة \u202eevil',
  133: 'W'.repeat(300),
  132: '',
  131: ' \n\t ',
};
const WITHOUT_PRICE = [103, 132, 138];
const WITHOUT_PICTURE = [102, 132, 139];
const INACTIVE = [134, 135, 136, 140];

/** What is missing for the real server, in words, or false. */
export const missing =
  [
    [path.join(BACKEND, 'node_modules', 'express'), 'the packages of backend/ are not installed'],
    [process.env.PYTHON_BIN ?? path.join(BACKEND, '..', '.venv', 'bin', 'python'), 'there is no Python with the packages of requirements.txt'],
  ].find(([file]) => !existsSync(file))?.[1] ?? false;

export class RealShop {
  url = '';
  #parts;
  #folder;
  #port = 0;
  #server;
  #isPythonBroken = false;
  #isOrdinary = false; // of usual settings, and has not counted deaths
  #file;

  /** Make the shop, train a version, and start the server. */
  static async start() {
    const shop = new RealShop();
    await shop.#make();
    await shop.restart();
    return shop;
  }

  async #make() {
    const [harness, { startServerProcess }, shops, { movableFile }, { tokenOf }] = await Promise.all(
      ['harness', 'web/serverProcess', 'web/shops', 'web/movableFile', 'web/stage'].map((name) => import(`${BACKEND}test/${name}.js`)),
    );
    this.#folder = mkdtempSync(path.join(tmpdir(), 'proof-'));
    await promisify(execFile)(harness.PYTHON, [path.join(BACKEND, 'test', 'publish_tiny.py'), this.#folder]);
    writeFileSync(this.#python, `#!/bin/sh\nexec "${harness.PYTHON}" "$@"\n`);
    chmodSync(this.#python, 0o755);
    this.#file = movableFile(path.join(this.#folder, 'shop.sqlite'));
    this.#parts = { ...harness, startServerProcess, ...shops, tokenOf };
    await shops.fillUsers(this.#database, [ADMINISTRATOR, ...CUSTOMERS, STRANGER]);
    await shops.withModels(this.#database, furnish);
  }

  get #python() {
    return path.join(this.#folder, 'python');
  }

  get #database() {
    return `sqlite:///${path.join(this.#folder, 'shop.sqlite')}`;
  }

  get password() {
    return this.#parts.PASSWORD;
  }

  account(id) {
    return { email: `customer${id}@shop.example` };
  }

  /** A token that is good for some seconds. */
  shortToken(id, seconds) {
    return this.#parts.tokenOf(id, { exp: Math.floor(Date.now() / 1000) + seconds });
  }

  /** Start the server, at the same address as before. */
  async restart(variables = {}) {
    await this.halt();
    this.#server = await this.#launch(this.#port || FIRST_PORT + Math.floor(Math.random() * N_PORTS), variables);
    this.#isOrdinary = Object.keys(variables).length === 0;
    this.#port = this.#server.port;
    this.url = `http://127.0.0.1:${this.#port}`;
    await this.isReady();
  }

  /** Start another server of the shop, beside the first one. */
  async beside(variables) {
    const server = await this.#launch(0, variables);
    return { url: `http://127.0.0.1:${server.port}`, stop: () => server.stop() };
  }

  async #launch(port, variables) {
    const all = {
      DATABASE_URL: this.#database,
      MODELS_DIR: path.join(this.#folder, 'models'),
      SPOOL_DIR: path.join(this.#folder, 'spool'),
      PYTHON_BIN: this.#python,
      PYTHON_TIMEOUT_MS: '10000', // what is no question of time is not to fail on a busy machine
      ...variables,
    };
    try {
      return await this.#parts.startServerProcess({ ...all, PORT: String(port) });
    } catch (error) {
      if (this.#port || !port) throw error;
      return this.#launch(0, variables); // the port was not free
    }
  }

  async isReady() {
    await until(async () => (await this.#server.get('/ready')).body.status === 'ready', 'the server is ready', READY_MS);
  }

  /** End the server, as an operator does. */
  async halt() {
    const server = this.#server;
    this.#server = null;
    return server ? server.stop() : 0;
  }

  /** Let the server stand still. */
  freeze() {
    process.kill(this.#server.pid, 'SIGSTOP');
  }

  thaw() {
    if (this.#server) process.kill(this.#server.pid, 'SIGCONT');
  }

  /** Kill Python's processes; others start in their place. */
  killPython() {
    const pids = this.#parts.childrenOf(this.#server.pid);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    this.#isOrdinary = false;
    return pids.length;
  }

  /** Kill Python's processes, so that none can be started either. */
  breakPython() {
    renameSync(this.#python, `${this.#python}.away`);
    this.#isPythonBroken = true;
    return this.killPython();
  }

  mendPython() {
    if (this.#isPythonBroken) renameSync(`${this.#python}.away`, this.#python);
    this.#isPythonBroken = false;
  }

  takeDatabase() {
    this.#file.takeAway();
  }

  returnDatabase() {
    this.#file.bringBack();
  }

  /** What the pages have told of a user, or of guests, oldest first: action and product. */
  async events(userId = null) {
    const rows = await this.#parts.withModels(this.#database, ({ Interaction, GuestEvent }) =>
      userId === null
        ? GuestEvent.findAll({ order: ['id'], raw: true })
        : Interaction.findAll({ where: { userId }, order: ['interId'], raw: true }).then((all) => all.filter(({ eventId }) => eventId !== null)),
    );
    return rows.map(({ actionCode, productId }) => `${actionCode} ${productId}`);
  }

  /** What lists have shown to a user, and what of it was clicked: answer, product and event. */
  async listEvents(userId) {
    const rows = await this.#parts.withModels(this.#database, ({ ListEvent }) => ListEvent.findAll({ where: { user_id: String(userId) }, order: ['id'], raw: true }));
    return rows.map(({ recommendation_id: answer, product_id: product, interaction_type: event }) => ({ answer, product: Number(product), event }));
  }

  /** Bring all back that an earlier test may have taken away. */
  async reset() {
    this.thaw();
    this.mendPython();
    this.returnDatabase();
    if (!this.#server || !this.#isOrdinary) await this.restart();
    else await this.isReady();
  }

  async stop() {
    this.thaw();
    await this.halt();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Give the products of the tiny shop prices in đồng, pictures, categories with names, and views. */
async function furnish({ Product, Productdetail }, sequelize) {
  const run = (sql, replacements = []) => sequelize.query(sql, { replacements });
  await run('UPDATE Productdetails SET originalPrice = originalPrice * 10000, discountPrice = discountPrice * 10000');
  await Productdetail.destroy({ where: { productId: WITHOUT_PRICE } });
  await run('UPDATE Products SET view = 1000 - id');
  for (const [code, value] of Object.entries({ tea: 'Tea', coffee: 'Cà phê', honey: '<b>Honey</b>', Nord: 'Nord', Sud: 'Sud' })) {
    await run("INSERT INTO Allcodes (type, code, value) VALUES ('OF THE PROOF', ?, ?)", [code, value]);
  }
  await run("UPDATE Users SET firstName = 'Khách', lastName = 'Số ' || id");
  const ids = (await Product.findAll({ attributes: ['id'], raw: true })).map(({ id }) => id);
  for (const id of ids.filter((one) => !WITHOUT_PICTURE.includes(one) && !INACTIVE.includes(one))) {
    const hue = (id * 47) % 360;
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9" fill="hsl(${hue} 40% 70%)"/></svg>`;
    await run('INSERT INTO Productimages (productId, image) VALUES (?, ?)', [id, svg]);
  }
  for (const [id, name] of Object.entries(HOSTILE)) await Product.update({ name }, { where: { id } });
}
