/** A browser for tests of the live page: all that it asks for is recorded, and so is whatever goes wrong in it. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { findChromium } from '../../.ci/chromium.js';

const FACT_MS = 10_000;
const args = [
	'--no-sandbox',
	'--disable-gpu',
	'--disable-quic',
	'--no-first-run',
	'--disable-background-networking',
	'--disable-component-update',
	'--disable-sync',
];

export const browser = findChromium();

/** Where screenshots are kept. */
export const artefacts = process.env.CHOIR_ARTEFACTS ?? path.join(os.tmpdir(), 'choir-page');

/** Opens the page of an address; afterwards it must have asked for nothing elsewhere, and nothing may have gone wrong in it. */
export async function withPage(address: string, body: (page: Page) => Promise<void>, options: BrowserContextOptions = {}): Promise<void> {
	assert.ok(browser !== null);
	const running = await chromium.launch({ executablePath: browser, args });
	try {
		const context = await running.newContext({ viewport: { width: 1440, height: 900 }, ...options });
		const asked: string[] = [];
		const wrong: string[] = [];
		const page = await context.newPage();
		page.setDefaultTimeout(FACT_MS);
		page.on('request', (request) => asked.push(request.url()));
		page.on('websocket', (socket) => asked.push(socket.url()));
		page.on('pageerror', (error) => wrong.push(error.stack ?? error.message));
		// Of a connection that is lost, the browser itself says so.
		page.on('console', (message) => message.type() === 'error' && !message.text().includes('WebSocket') && wrong.push(message.text()));
		await page.goto(address);
		await page.getByRole('treeitem').first().waitFor();
		await body(page);
		assert.deepEqual(wrong, []);
		const { host } = new URL(address);
		const elsewhere = asked.filter((url) => !url.startsWith('data:') && new URL(url).host !== host);
		assert.deepEqual(elsewhere, []);
		assert.ok(asked.length >= 4, `the page, its script, its sheet and its socket: ${asked}`);
	} finally {
		await running.close();
	}
}

/** Keeps what the page looks like. */
export async function keep(page: Page, name: string): Promise<void> {
	fs.mkdirSync(artefacts, { recursive: true });
	await page.screenshot({ path: path.join(artefacts, `${name}.png`) });
}
