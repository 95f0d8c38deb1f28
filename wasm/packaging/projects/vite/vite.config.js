// Nothing has to be said: this only keeps the output readable when it fails.
export default { build: { minify: false }, logLevel: "warn" };
