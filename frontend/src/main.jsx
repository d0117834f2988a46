import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App.jsx';
import { ErrorBoundary } from './components/ErrorBoundary.jsx';
import { ShopContext } from './shop.js';

/** @param {import('./createShop.js').Shop} shop */
export function show(shop) {
  createRoot(/** @type {HTMLElement} */ (document.getElementById('root'))).render(
    <StrictMode>
      <ShopContext value={shop}>
        <ErrorBoundary>
          <App />
        </ErrorBoundary>
      </ShopContext>
    </StrictMode>,
  );
}
