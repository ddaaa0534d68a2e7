/**
 * Passes listening sockets from process to process over a unix socket: the only way back for a descriptor that was inherited.
 * It is Node's own way, by which cluster hands sockets to its workers; there is no other name for it than these bindings.
 * One connection passes one socket, with a line that says which.
 */
import { createServer, type Server } from 'node:net';

/** What is below a server. */
export interface Passed {
	readonly fd: number;
	setBlocking(blocking: boolean): number;
	close(): void;
}

interface Pipe {
	pendingHandle: Passed | null;
	onread: (this: Pipe, bytes: ArrayBuffer | undefined) => void;
	open(fd: number): number;
	connect(request: object, path: string): number;
	readStart(): number;
	readStop(): number;
	unref(): void;
	writeUtf8String(request: object, text: string, handle: unknown): number;
	close(): void;
}
type Request = new () => { oncomplete: (status: number) => void };
type Bindings = {
	pipe_wrap: { Pipe: { new (type: number): Pipe }; PipeConnectWrap: Request; constants: { IPC: number } };
	stream_wrap: { WriteWrap: Request };
};

const binding = <Name extends keyof Bindings>(name: Name): Bindings[Name] =>
	(process as unknown as { binding(name: Name): Bindings[Name] }).binding(name);

/** For one connection to say what it brings. */
const PASS_MS = 2_000;
const MAX_BYTES = 4_096;

/** Passes the socket below a server, which goes on as before. What becomes of it is the receiver's to see. */
export function passSocket(path: string, line: string, socket: unknown): void {
	const { Pipe, PipeConnectWrap, constants } = binding('pipe_wrap');
	const { WriteWrap } = binding('stream_wrap');
	const pipe = new Pipe(constants.IPC);
	pipe.unref();
	const connecting = new PipeConnectWrap();
	connecting.oncomplete = (failed) => {
		if (failed) return pipe.close();
		const writing = new WriteWrap();
		writing.oncomplete = () => pipe.close();
		if (pipe.writeUtf8String(writing, line + '\n', socket)) pipe.close();
	};
	if (pipe.connect(connecting, path)) pipe.close();
}

/** Listens for sockets that are passed. What comes without one, or too late, is dropped. */
export function receiveSockets(path: string, take: (line: string, socket: Passed) => void): Promise<Server> {
	const server = createServer({ pauseOnConnect: true }, (connection) => {
		const { Pipe, constants } = binding('pipe_wrap');
		const pipe = new Pipe(constants.IPC);
		const late = setTimeout(() => end(), PASS_MS);
		let text = '';
		let passed: Passed | null = null;
		// Two handles of one descriptor: the connection closes it, and the pipe is left as it is, for it would close another's.
		const end = () => {
			clearTimeout(late);
			pipe.readStop();
			connection.destroy();
			passed?.close();
			passed = null;
		};
		connection.on('error', () => {});
		pipe.pendingHandle = null;
		pipe.onread = function (bytes) {
			passed ??= this.pendingHandle;
			this.pendingHandle = null;
			text += bytes === undefined ? '' : Buffer.from(bytes).toString('utf8');
			if (bytes !== undefined && !text.endsWith('\n') && text.length <= MAX_BYTES) return;
			const socket = passed;
			passed = null;
			if (socket !== null && text.endsWith('\n')) take(text.slice(0, -1), socket);
			else socket?.close();
			end();
		};
		const { fd } = (connection as unknown as { _handle: { fd: number } })._handle;
		if (pipe.open(fd)) return end();
		pipe.unref();
		pipe.readStart();
	});
	return new Promise((resolve, reject) => server.once('error', reject).listen(path, () => resolve(server)));
}
