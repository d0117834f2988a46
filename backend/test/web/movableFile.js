/** A file that can be moved away and back. */
import { renameSync } from 'node:fs';

/**
 * Return what moves a file out of its place and back; a second time does nothing.
 *
 * @param {string} file
 * @returns {{takeAway: () => void, bringBack: () => void}}
 */
export function movableFile(file) {
  let isAway = false;
  const takeAway = () => {
    if (!isAway) renameSync(file, `${file}.away`);
    isAway = true;
  };
  const bringBack = () => {
    if (isAway) renameSync(`${file}.away`, file);
    isAway = false;
  };
  return { takeAway, bringBack };
}
