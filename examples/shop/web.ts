/** Answers each request with a greeting and the pid of the worker that answered: see it change when you kill one. */
import { createServer } from 'node:http';
import { listener, onDrain, ready } from 'choir/worker';

const server = createServer((_request, response) => {
	response.end(`${process.env.GREETING ?? 'Hello'}, from ${process.pid}\n`);
});
server.listen(listener('http', 8080), () => {
	console.log(`listening as ${process.pid}`);
	ready();
});
onDrain(() => console.log('finishing what is under way'));
