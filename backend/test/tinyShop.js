/** A shop in a folder, trained on in ten seconds, and how its versions come and go. */
import { execFile } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { runPythonInference } from '../src/services/pythonInvoker.js';
import { PYTHON, REPOSITORY } from './harness.js';

const TEST = path.join(REPOSITORY, 'backend', 'test');
const run = promisify(execFile);
const COMPILING_MS = 60_000; // a second, on a machine that has nothing else to do

// Appended to the package of a copy: users by whose names something goes wrong in the middle of their request, such as loop or loop-17.
const MISBEHAVIOUR = `

_recommend = recommend


def recommend(request, *given, **named):
    import ctypes, os, re, subprocess, time
    from dataclasses import replace

    def as_somebody():
        return replace(_recommend(replace(request, user_id=7), *given, **named), user_id=request.user_id)

    match str(request.user_id).partition("-")[0]:
        case "print":
            print("a stray line")
            os.write(1, b"from a library\\n")
            ctypes.CDLL(None).puts(b"from C")
            subprocess.run(["/bin/echo", "from a child"], check=True)
            return as_somebody()
        case "slow":
            time.sleep(0.3)
            return as_somebody()
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
    return _recommend(request, *given, **named)
`;

/** A published shop, and the door in a copy where no developer's `.env` or `recsys.toml` lies. */
export class TinyShop {
  /** Its folder: `shop.sqlite`, `models/`, `door/`. */
  folder;

  constructor(folder) {
    this.folder = folder;
  }

  /** Make a shop, train on it and publish. */
  static async make() {
    const shop = new TinyShop(mkdtempSync(path.join(tmpdir(), 'shop-')));
    await run(PYTHON, [path.join(TEST, 'publish_tiny.py'), shop.folder]);
    const isSource = (file) => !file.endsWith('__pycache__');
    cpSync(path.join(REPOSITORY, 'recsys'), path.join(shop.door, 'recsys'), { recursive: true, filter: isSource });
    cpSync(path.join(REPOSITORY, 'recommend_api.py'), shop.script);
    appendFileSync(path.join(shop.door, 'recsys', 'recommending', 'recommend.py'), MISBEHAVIOUR);
    await runPythonInference({ user_id: 7 }, { ...shop.launch(), timeoutMs: COMPILING_MS }); // the first one compiles the copy
    return shop;
  }

  get door() {
    return path.join(this.folder, 'door');
  }

  get script() {
    return path.join(this.door, 'recommend_api.py');
  }

  get models() {
    return path.join(this.folder, 'models');
  }

  /** Where CURRENT points. */
  get current() {
    return readFileSync(path.join(this.models, 'CURRENT'), 'ascii').trim();
  }

  /** What a worker has to be told. */
  get variables() {
    return { DATABASE_URL: `sqlite:///${path.join(this.folder, 'shop.sqlite')}`, MODELS_DIR: this.models };
  }

  /** Return options that start the door. */
  launch(env = process.env) {
    return { python: PYTHON, script: this.script, env: { ...env, ...this.variables } };
  }

  /** Return a copy to damage. */
  copy() {
    const shop = new TinyShop(mkdtempSync(path.join(tmpdir(), 'shop-')));
    cpSync(this.folder, shop.folder, { recursive: true });
    return shop;
  }

  /** Run publisher.py, and return what it tells. */
  async publisher(...command) {
    const { stdout } = await run(PYTHON, [path.join(TEST, 'publisher.py'), this.folder, ...command]);
    return JSON.parse(stdout);
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
