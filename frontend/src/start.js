/** The first script: it asks for what the page shows first, while React and the components are still being loaded. */
import { createShop } from './createShop.js';
import { askEarly } from './lib/paths.js';
import './styles/base.css';
import './styles/shop.css';

const WAIT_MS = 250; // answers that come later find skeletons

const shop = createShop(window);
const answered = askEarly(shop.answers, shop.router.route.get(), shop.sessions.current.get()?.userId ?? '');
const waited = new Promise((resolve) => setTimeout(resolve, WAIT_MS));
void Promise.all([import('./main.jsx'), Promise.race([answered, waited])]).then(([{ show }]) => show(shop));
