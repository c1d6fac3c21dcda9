/** What the app says: hello, who it is, or nothing for ever. */
export function answer(url, worker) {
  if (url === '/who') return { worker }
  if (url === '/block') for (;;);
  return { hello: 'world' }
}
