/** What a shop changes when it builds the page: `VITE_SHOP_NAME=… VITE_CURRENCY=… npm run build`. */
export const SHOP_NAME = import.meta.env.VITE_SHOP_NAME || 'Demo Shop';
export const CURRENCY = import.meta.env.VITE_CURRENCY || 'VND';
