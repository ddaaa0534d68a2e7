/** What users import from `choir/testing`: their tree in a simulated world, and tests of their own machines. */
export type { Behaviour } from './behaviour.ts';
export type { WorldEvent } from './events.ts';
export { type Explored, type ExploreOptions, explore } from './explore.ts';
export type { Invariant } from './invariants.ts';
export { type Path, type PathOptions, type Paths, paths, type System } from './paths.ts';
export { simulate } from './simulate.ts';
export { type Happening, type Row, type Table, table } from './table.ts';
export type { SimulatedStatus, World, WorldOptions } from './world.ts';
