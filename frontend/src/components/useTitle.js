import { useEffect } from 'react';
import { SHOP_NAME } from '../config.js';

/**
 * Name the page in the window's title.
 *
 * @param {string | null} title `null` for the first page.
 */
export function useTitle(title) {
  useEffect(() => {
    document.title = title ? `${title} · ${SHOP_NAME}` : SHOP_NAME;
  }, [title]);
}
