// The same types from CommonJS.
import sealwire = require("../../dist/cjs/index.js");

const sealed: Promise<Uint8Array> = sealwire.seal("x", [], new sealwire.SealContext("n"));
void sealed;
