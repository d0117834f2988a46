/** A value from outside is missing, or not what it should be. Its message is for people, and never shows what may be a secret. */
export class SettingsError extends Error {
  name = 'SettingsError';
}
