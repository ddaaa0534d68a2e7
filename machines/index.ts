/** The machines and the rules, for viewers and for tests of one's own (`choir/machines`). */
export { agendaMachine } from './agenda.ts';
export { angelMachine } from './angel.ts';
export { dynamicMachine } from './dynamic.ts';
export { masterMachine } from './master.ts';
export * from './restart.ts';
export { rolloutMachine } from './rollout.ts';
export { requestOf, signals } from './signals.ts';
export { standbyMachine } from './standby.ts';
export { tokenMachine } from './token.ts';
export { workerMachine } from './worker.ts';
