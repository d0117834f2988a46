/**
 * A test reporter that lists skipped tests with their reasons at the end of the run. On CI they fail the run.
 *
 *     node --test --test-reporter=./test/skips.js --test-reporter-destination=stdout …
 */
const IS_CI = ['true', '1'].includes((process.env.CI ?? '').toLowerCase());

export default async function* skips(events) {
  const lines = [];
  for await (const { type, data } of events) {
    const isSkipped = ['test:pass', 'test:fail'].includes(type) && data.skip !== undefined;
    if (isSkipped) lines.push(`  ${data.name}: ${data.skip === true ? 'no reason was given' : data.skip}`);
  }
  if (lines.length === 0) return;
  if (IS_CI) process.exitCode = 1;
  yield `\nskipped${IS_CI ? ', which CI refuses' : ''}:\n${lines.join('\n')}\n`;
}
