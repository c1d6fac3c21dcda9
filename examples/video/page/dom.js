/**
 * An element with properties and children. Texts become text nodes, whatever they hold, so no name or reason can bring markup along.
 * @param {string} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Node | string | undefined | false)} children
 */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'dataset') Object.assign(node.dataset, value)
    else if (value !== undefined) node[name] = value
  }
  node.append(...children.filter((child) => child !== undefined && child !== false))
  return node
}

/** @param {string} id */
export function byId(id) {
  const node = document.getElementById(id)
  if (!node) throw new Error(`The page has no element #${id}`)
  return node
}
