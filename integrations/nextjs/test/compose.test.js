/** deploy/: the ports, health checks and order of docker-compose.yml, and what its Dockerfiles copy and run. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DEPLOY = path.join(ROOT, 'deploy');
const read = (...parts) => readFileSync(path.join(...parts), 'utf8');
const TEXT = read(DEPLOY, 'docker-compose.yml');
const compose = parse(TEXT, { merge: true });
/** @type {Record<string, any>} */
const services = compose.services;
const PORTS = {
  postgres: [5432, 5432],
  redis: [6379, 6379],
  recommendation: [8001, 8001],
  express: [6969, 6969],
  storefront: [3000, 3000],
  medusa: [9000, 9000],
  pgadmin: [5050, 80],
};
const PROFILES = { demo: ['demo'], medusa: ['medusa'], pgadmin: ['pgadmin'] };
const ONCE = ['demo', 'training', 'express-training']; // they end, and others wait for that
const STARTED = ['postgres', 'redis', 'training', 'recommendation', 'worker', 'beat', 'express-training', 'express', 'storefront'];
const LASTING = Object.keys(services).filter((name) => !ONCE.includes(name));

/** The stages of a Dockerfile by name, each with its base and its instructions. */
function stagesOf(file) {
  const stages = {};
  let stage = { base: '', lines: [] };
  for (const line of read(ROOT, file).replace(/\\\n/g, ' ').split('\n')) {
    const [, base, name] = /^FROM (\S+) AS (\S+)$/.exec(line) ?? [];
    if (name) stage = stages[name] = { base, lines: [] };
    else if (/^[A-Z]+ /.test(line)) stage.lines.push(line);
  }
  return stages;
}

/** A stage's instructions, after those of the stages that it is made from. */
function linesOf(stages, name) {
  return stages[name] ? [...linesOf(stages, stages[name].base), ...stages[name].lines] : [];
}

const built = Object.entries(services).filter(([name, { build }]) => build?.dockerfile && name !== 'medusa');
const imageOf = ({ build }) => {
  const stages = stagesOf(build.dockerfile);
  return linesOf(stages, build.target ?? Object.keys(stages).at(-1));
};

test('each service listens on its port, for this machine only', () => {
  const ports = Object.entries(services).flatMap(([name, service]) => (service.ports ? [[name, service.ports]] : []));
  assert.deepEqual(Object.fromEntries(ports), Object.fromEntries(Object.entries(PORTS).map(([name, [here, inside]]) => [name, [`127.0.0.1:${here}:${inside}`]])));
});

test('some services are behind profiles, and all are in one network', () => {
  const profiles = Object.entries(services).filter(([, service]) => service.profiles);
  assert.deepEqual(Object.fromEntries(profiles.map(([name, service]) => [name, service.profiles])), PROFILES);
  assert.deepEqual(Object.keys(compose.networks), ['app_network']);
  for (const [name, { networks }] of Object.entries(services)) assert.deepEqual(networks, ['app_network'], name);
});

test('what lasts has a health check and starts again; what runs once does not', () => {
  for (const name of LASTING) {
    const { healthcheck, restart } = services[name];
    assert.ok(['CMD', 'CMD-SHELL'].includes(healthcheck.test[0]) && healthcheck.interval && healthcheck.timeout && healthcheck.retries, name);
    assert.equal(restart, 'unless-stopped', name);
  }
  for (const name of ONCE) assert.deepEqual([services[name].healthcheck, services[name].restart], [undefined, undefined], name);
});

test('each one waits until what it needs is healthy or done, in the order of scripts/start_all.py', () => {
  for (const [name, { depends_on: needs = {} }] of Object.entries(services)) {
    for (const [other, { condition }] of Object.entries(needs)) {
      assert.equal(condition, ONCE.includes(other) ? 'service_completed_successfully' : 'service_healthy', `${name} needs ${other}`);
      if (STARTED.includes(name) && other !== 'demo') assert.ok(STARTED.indexOf(other) < STARTED.indexOf(name), `${other} before ${name}`);
    }
  }
  const needs = (name) => Object.keys(services[name].depends_on);
  assert.deepEqual(needs('recommendation'), ['postgres', 'redis', 'training']);
  assert.deepEqual(needs('storefront'), ['recommendation', 'express']);
  assert.deepEqual(needs('beat'), ['redis', 'worker']);
  const [, names] = /^NAMES = \((.+)\)$/m.exec(read(ROOT, 'scripts/start_all.py')) ?? [];
  assert.deepEqual(names.match(/\w+/g), STARTED.slice(3).filter((name) => !ONCE.includes(name)));
});

test('no secret has a default, and .env.example names all that are asked for', () => {
  const variables = [...TEXT.matchAll(/\$\{(\w+)(:[?-])?([^}]*)\}/g)];
  const secret = /PASSWORD|KEY|SECRET/;
  for (const [whole, name, , value] of variables) if (secret.test(name)) assert.equal(value, '', whole);
  for (const name of ['POSTGRES_PASSWORD', 'SERVICE_KEY', 'SERVICE_ADMIN_KEY', 'JWT_SECRET']) assert.ok(TEXT.includes(`\${${name}:?}`), name);
  const example = read(DEPLOY, '.env.example').matchAll(/^(?:# )?([A-Z_]+)=/gm);
  assert.deepEqual(new Set([...example].map(([, name]) => name)), new Set(variables.map(([, name]) => name)));
  assert.doesNotMatch(read(DEPLOY, '.env.example'), /^(POSTGRES_PASSWORD|SERVICE_KEY|SERVICE_ADMIN_KEY|JWT_SECRET)=./m);
});

test('pgAdmin knows the server, without a password', () => {
  const { POSTGRES_DB: name, POSTGRES_USER: user } = services.postgres.environment;
  const [server, ...others] = Object.values(JSON.parse(read(DEPLOY, 'servers.json')).Servers);
  assert.deepEqual([others.length, server.Host, server.Port, server.MaintenanceDB, server.Username], [0, 'postgres', 5432, name, user]);
  assert.deepEqual(Object.keys(server).filter((key) => /pass/i.test(key)), []);
  assert.ok(services.pgadmin.volumes.includes('./servers.json:/pgadmin4/servers.json:ro'));
});

test('files that are mounted and folders that are built are there; the chatbot has a place only', () => {
  for (const [name, { volumes = [], build }] of Object.entries(services)) {
    for (const volume of volumes.map((text) => text.split(':')[0])) {
      assert.ok(volume.startsWith('./') ? existsSync(path.join(DEPLOY, volume)) : volume in compose.volumes, `${name}: ${volume}`);
    }
    if (build?.dockerfile) assert.equal(build.context, '..', name);
  }
  assert.match(TEXT, /^ {2}# chatbot:/m);
  assert.equal('chatbot' in services, false);
});

test('images have several stages, run as nobody special, and copy what is there', () => {
  assert.deepEqual(built.map(([name]) => name), ['demo', 'training', 'recommendation', 'worker', 'beat', 'express-training', 'express', 'storefront']);
  for (const [name, service] of built) {
    const stages = stagesOf(service.build.dockerfile);
    assert.ok(Object.keys(stages).length > 1, name);
    const lines = imageOf(service);
    const user = lines.findLast((line) => line.startsWith('USER '))?.slice(5);
    assert.ok(['recsys', 'node'].includes(user), `${name} runs as ${user}`);
    for (const line of [...Object.values(stages)].flatMap((stage) => stage.lines)) {
      const [, words] = /^COPY (?!--from)(.+)$/.exec(line) ?? [];
      for (const source of words?.split(' ').slice(0, -1) ?? []) assert.ok(existsSync(path.join(ROOT, source)), `${name}: ${source}`);
      const [, from] = /^COPY --from=(\S+)/.exec(line) ?? [];
      assert.ok(!from || from in stages || from.includes(':'), `${name}: ${from}`);
    }
  }
});

test('the image that serves has no TensorFlow, and nothing watches files', () => {
  const requirements = { recommendation: 'service', express: 'serve' };
  for (const [name, file] of Object.entries(requirements)) {
    const { build } = services[name];
    const text = read(ROOT, build.dockerfile);
    assert.match(text, new RegExp(`requirements/${file}\\.txt`));
    assert.doesNotMatch(read(ROOT, `requirements/${file}.txt`), /^(tensorflow|keras)/m);
    assert.equal(imageOf(services[name]).some((line) => line.includes('training-packages')), false, name);
  }
  const texts = [TEXT, ...new Set(built.map(([, { build }]) => read(ROOT, build.dockerfile)))];
  for (const text of texts) assert.doesNotMatch(text, /--reload|--watch|next dev/);
  const ignored = read(ROOT, '.dockerignore').split('\n');
  for (const name of ['.git', '.env', '**/.env', '**/node_modules', 'data', 'models/*']) assert.ok(ignored.includes(name), name);
});

// Where there is no client of Docker with this command, nothing can be asked.
if (spawnSync('docker', ['compose', 'version']).status === 0) {
  test('docker compose takes the file', () => {
    const environ = { ...process.env, POSTGRES_PASSWORD: 'p', SERVICE_KEY: 'k', SERVICE_ADMIN_KEY: 'a', JWT_SECRET: 's' };
    const file = path.join(DEPLOY, 'docker-compose.yml');
    const done = spawnSync('docker', ['compose', '-f', file, '--profile', '*', 'config', '--quiet'], { env: environ, encoding: 'utf8' });
    assert.equal(done.status, 0, done.stderr);
  });
}
