import { assign, enqueueActions, setup } from 'xstate';

/** What the keeper of a token hears. Instances by the ids of their workers. */
export type TokenEvent =
	/** Those that serve now, in their order: ready, beating, and not draining. */
	| { type: 'serving.changed'; serving: readonly string[] }
	/** It accepts connections from now on. */
	| { type: 'token.taken'; by: string };

/** What is asked of the world. Both are words that can be said again. */
export type TokenEffects = {
	offerToken: { to: string };
	revokeToken: { from: readonly string[] };
};

export interface TokenInput {
	/** How long each has it. */
	quantumMs: number;
}

export interface TokenContext extends TokenInput {
	serving: readonly string[];
	/** Who accepts; null: nobody, or nobody knows. */
	holder: string | null;
	/** Who has been asked to take it. */
	candidate: string | null;
	/** After whom the next one comes, who may be gone. */
	last: string | null;
	/** In which place that was. */
	place: number;
}

/** For an answer. One that is silent for so long is passed over, and asked again in its turn. */
export const ANSWER_MS = 100;

type TokenAction = { [K in keyof TokenEffects]: { type: K; params: TokenEffects[K] } }[keyof TokenEffects];
const enqueueing = enqueueActions<TokenContext, TokenEvent, undefined, TokenEvent, never, TokenAction, never, never>;

const servingOf = ({ context, event }: { context: TokenContext; event: TokenEvent }) =>
	event.type === 'serving.changed' ? event.serving : context.serving;

/** Who comes after the last one; after one that is gone, whoever has its place now. */
export function nextOf({ serving, last, place }: Pick<TokenContext, 'serving' | 'last' | 'place'>): string | null {
	if (serving.length === 0) return null;
	const at = last === null ? -1 : serving.indexOf(last);
	return serving[(at < 0 ? place : at + 1) % serving.length] as string;
}

/**
 * Of some instances that share a socket, only the holder of the token accepts. Whoever is next takes it, says so, and only then it is taken
 * from the former: so somebody accepts at any time, however many hang. Its keeper neither counts connections nor waits for the holder.
 */
export const tokenMachine = setup({
	types: {} as { context: TokenContext; events: TokenEvent; input: TokenInput },
	actions: {
		offerToken: (_, _params: TokenEffects['offerToken']) => {},
		revokeToken: (_, _params: TokenEffects['revokeToken']) => {},
	},
	guards: {
		nobodyServes: (args) => servingOf(args).length === 0,
		holderIsGone: (args) => args.context.holder === null || !servingOf(args).includes(args.context.holder),
		candidateIsGone: (args) => !servingOf(args).includes(args.context.candidate ?? ''),
		isAlone: (args) => servingOf(args).length === 1,
		isHoldersTurn: ({ context }) => context.holder !== null && nextOf(context) === context.holder,
		isCandidate: ({ context, event }) => event.type === 'token.taken' && event.by === context.candidate,
		isHolder: ({ context, event }) => event.type === 'token.taken' && event.by === context.holder,
	},
	delays: { quantum: ({ context }) => context.quantumMs, answerTimeout: ANSWER_MS },
})
	.extend({
		actions: {
			/** A holder that serves no more has it no more. */
			recordServing: enqueueing(({ context, event, enqueue }) => {
				if (event.type !== 'serving.changed') return;
				const { holder, last } = context;
				const lost = holder !== null && !event.serving.includes(holder);
				const place = last === null ? -1 : context.serving.indexOf(last);
				enqueue.assign({ serving: event.serving, holder: lost ? null : holder, place: place < 0 ? context.place : place });
				if (lost) enqueue({ type: 'revokeToken', params: { from: [holder] } });
			}),
			offerNext: enqueueing(({ context, enqueue }) => {
				const to = nextOf(context) as string;
				enqueue.assign({ candidate: to, last: to, place: context.serving.indexOf(to) });
				enqueue({ type: 'offerToken', params: { to } });
			}),
			passOver: assign(({ context }) => {
				const { candidate, serving } = context;
				return { candidate: null, last: candidate, place: Math.max(0, serving.indexOf(candidate ?? '')) };
			}),
			/** From the former; from all others, if nobody knows who that was: a master that is gone has given it. */
			recordTaken: enqueueing(({ context, event, enqueue }) => {
				if (event.type !== 'token.taken') return;
				const { holder, serving } = context;
				const from = holder === null ? serving.filter((each) => each !== event.by) : [holder].filter((each) => each !== event.by);
				enqueue.assign({ holder: event.by, candidate: null });
				if (from.length > 0) enqueue({ type: 'revokeToken', params: { from } });
			}),
			/** Too late: another one has it. */
			takeBack: enqueueing(({ event, enqueue }) => {
				if (event.type === 'token.taken') enqueue({ type: 'revokeToken', params: { from: [event.by] } });
			}),
		},
	})
	.createMachine({
		id: 'token',
		context: ({ input = { quantumMs: 0 } }) => ({
			quantumMs: input.quantumMs,
			serving: [],
			holder: null,
			candidate: null,
			last: null,
			place: 0,
		}),
		on: {
			'token.taken': [{ guard: 'isHolder' }, { actions: 'takeBack' }],
		},
		initial: 'vacant',
		states: {
			vacant: {
				description: 'Nobody serves, and nobody has it.',
				on: {
					'serving.changed': [
						{ guard: 'nobodyServes', actions: 'recordServing' },
						{ target: 'offering', actions: 'recordServing' },
					],
				},
			},
			held: {
				on: {
					'serving.changed': [
						{ guard: 'nobodyServes', target: 'vacant', actions: 'recordServing' },
						{ guard: 'holderIsGone', target: 'offering', actions: 'recordServing' },
						{ guard: 'isAlone', target: '.alone', actions: 'recordServing' },
						{ target: '.shared', actions: 'recordServing' },
					],
				},
				initial: 'deciding',
				states: {
					deciding: {
						always: [{ guard: 'isAlone', target: 'alone' }, { target: 'shared' }],
					},
					alone: {
						description: 'Who serves alone keeps it.',
					},
					shared: {
						after: { quantum: '#token.offering' },
					},
				},
			},
			offering: {
				description: 'The next one is asked to take it. The former has it until then, if it still serves.',
				entry: 'offerNext',
				on: {
					'token.taken': [{ guard: 'isCandidate', target: 'held', actions: 'recordTaken' }, { guard: 'isHolder' }, { actions: 'takeBack' }],
					'serving.changed': [
						{ guard: 'nobodyServes', target: 'vacant', actions: 'recordServing' },
						{ guard: 'candidateIsGone', target: 'offering', reenter: true, actions: 'recordServing' },
						{ actions: 'recordServing' },
					],
				},
				after: { answerTimeout: { target: 'passing', actions: 'passOver' } },
			},
			passing: {
				description: 'It was silent.',
				always: [{ guard: 'isHoldersTurn', target: 'held' }, { target: 'offering' }],
			},
		},
	});
