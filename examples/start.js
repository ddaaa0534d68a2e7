// Runs the example tree: `npm start`.
import path from 'node:path';
import { makeReady, root } from '../.ci/ready.js';

makeReady();
process.argv.splice(2, process.argv.length, 'run', path.join(root, 'examples/shop/tree.ts'));
await import('../bin/choir.js');
