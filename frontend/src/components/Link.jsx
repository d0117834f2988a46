/** A link within the page. New tabs, downloads and other windows stay the browser's. */
import { useShop } from '../shop.js';

/** @param {{to: string} & import('react').AnchorHTMLAttributes<HTMLAnchorElement>} props */
export function Link({ to, onClick, children, ...rest }) {
  const { router } = useShop();
  return (
    <a
      href={to}
      onClick={(event) => {
        onClick?.(event);
        if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        router.go(to);
      }}
      {...rest}
    >
      {children}
    </a>
  );
}
