/** A small shop in a folder with a trained version, and commands that change its versions. */
import { execFile } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { runPythonInference } from '../src/services/pythonInvoker.js';
import { PYTHON, REPOSITORY } from './harness.js';

const TEST = path.join(REPOSITORY, 'backend', 'test');
const run = promisify(execFile);
const COMPILING_MS = 60_000; // takes a second on an idle machine

// Appended to a copy of recommend.py: requests of users such as loop or loop-17 have that fault.
const MISBEHAVIOUR = `

_recommend = recommend


def recommend(request, *arguments, **options):
    import ctypes, os, re, subprocess, time
    from dataclasses import replace

    def proper_answer():
        return replace(_recommend(replace(request, user_id=7), *arguments, **options), user_id=request.user_id)

    match str(request.user_id).partition("-")[0]:
        case "print":
            print("a stray line")
            os.write(1, b"from a library\\n")
            ctypes.CDLL(None).puts(b"from C")
            subprocess.run(["/bin/echo", "from a child"], check=True)
            return proper_answer()
        case "slow":
            time.sleep(0.3)
            return proper_answer()
        case "loop":
            while True:
                pass
        case "regex":
            re.match("(a+)+$", "a" * 64 + "b")
        case "defect":
            raise KeyError("a defect")
        case "memory":
            bytearray(2**50)
        case "exit":
            os._exit(1)
        case "segfault":
            ctypes.string_at(0)
    return _recommend(request, *arguments, **options)
`;

/** A published shop, and a copy of recommend_api.py beside which there is no developer's `.env` or `recsys.toml`. */
export class TinyShop {
  /** Its folder: `shop.sqlite`, `models/`, `script/`. */
  folder;

  constructor(folder) {
    this.folder = folder;
  }

  /** Make a shop, train a version and publish it. */
  static async make() {
    const shop = new TinyShop(mkdtempSync(path.join(tmpdir(), 'shop-')));
    await run(PYTHON, [path.join(TEST, 'publish_tiny.py'), shop.folder]);
    const isSource = (file) => !file.endsWith('__pycache__');
    cpSync(path.join(REPOSITORY, 'recsys'), path.join(shop.scriptFolder, 'recsys'), { recursive: true, filter: isSource });
    cpSync(path.join(REPOSITORY, 'recommend_api.py'), shop.script);
    appendFileSync(path.join(shop.scriptFolder, 'recsys', 'recommending', 'recommend.py'), MISBEHAVIOUR);
    await runPythonInference({ user_id: 7 }, { ...shop.launch(), timeoutMs: COMPILING_MS }); // the first request compiles the copy
    return shop;
  }

  /** The folder of recommend_api.py. */
  get scriptFolder() {
    return path.join(this.folder, 'script');
  }

  get script() {
    return path.join(this.scriptFolder, 'recommend_api.py');
  }

  get models() {
    return path.join(this.folder, 'models');
  }

  /** The name of the active version. */
  get current() {
    return readFileSync(path.join(this.models, 'CURRENT'), 'ascii').trim();
  }

  /** The environment variables of a worker. */
  get variables() {
    return { DATABASE_URL: `sqlite:///${path.join(this.folder, 'shop.sqlite')}`, MODELS_DIR: this.models };
  }

  /** Return options that launch recommend_api.py. */
  launch(env = process.env) {
    return { python: PYTHON, script: this.script, env: { ...env, ...this.variables } };
  }

  /** Return a copy, which a test may damage. */
  copy() {
    const shop = new TinyShop(mkdtempSync(path.join(tmpdir(), 'shop-')));
    cpSync(this.folder, shop.folder, { recursive: true });
    return shop;
  }

  /** Run publisher.py, and return its JSON output. */
  async publisher(...command) {
    const { stdout } = await run(PYTHON, [path.join(TEST, 'publisher.py'), this.folder, ...command]);
    return JSON.parse(stdout);
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
