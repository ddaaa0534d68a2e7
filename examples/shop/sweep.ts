/** A periodic job. It knows nothing of choir: what it says, and that it beats, comes from the outside. */
let rounds = 0;

function sweep(): void {
	rounds += 1;
	console.log(`round ${rounds}: nothing to sweep`);
}

sweep();
setInterval(sweep, 5_000);
