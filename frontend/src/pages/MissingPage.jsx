import { Message } from '../components/Message.jsx';
import { useTitle } from '../components/useTitle.js';
import { useText } from '../shop.js';
import { ForYou } from './shelves.jsx';

/** The page of an address that leads nowhere. */
export function MissingPage() {
  const { t } = useText();
  useTitle(t('missing'));
  return (
    <div className="page">
      <Message title={t('missing')}>
        <p className="quiet">{t('missing.text')}</p>
      </Message>
      <ForYou />
    </div>
  );
}
