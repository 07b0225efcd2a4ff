// usage: compare.mjs duckdb|hyparquet PARQUET TRUTH KIND...
//
// Compares a Parquet file, as an engine reads it, with TRUTH: one JSON array per row, in the order of the file, as the database
// says it. KIND tells for each column how its values are said: 'text' (also json, uuid), 'real', 'decimal', 'integer' (also
// days and microseconds since 1970), 'bytes' (hexadecimal), 'boolean'; with [] behind it for lists. Prints what differs
// first, and 'ROWS rows, N columns, VALUES values, D differ'.
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

const [engine, file, truth, ...kinds] = process.argv.slice(2)

// --- what an engine's value is, said as the truth says it

function plain(value, kind) {
	if (value === null || value === undefined) return null
	if (kind.endsWith('[]')) return Array.from(value, (element) => plain(element, kind.slice(0, -2)))
	switch (kind) {
		case 'real': return String(Number(value))
		case 'integer': return BigInt(value).toString()
		case 'bytes': return typeof value === 'string' ? value.toLowerCase() : Buffer.from(value).toString('hex')
		case 'boolean': return Boolean(value)
		case 'json': return engine === 'hyparquet' ? JSON.stringify(value) : value
		default: return typeof value === 'string' ? value : JSON.stringify(value)
	}
}

// hyparquet gives decimals as numbers, and JSON parsed, so that its null is no JSON: there only so much can be asked.
function same(got, want, kind) {
	if (got === null && want === 'null') return kind === 'json' && engine === 'hyparquet'
	if (got === null || want === null) return got === want
	if (kind.endsWith('[]'))
		return got.length === want.length && got.every((element, i) => same(element, want[i], kind.slice(0, -2)))
	if (kind === 'real') return String(Number(want)) === got || (want === '-0' && got === '0')
	if (kind === 'decimal' && engine === 'hyparquet')
		return Math.abs(Number(got) - Number(want)) <= Math.abs(Number(want)) * 1e-14
	if (kind === 'json') return JSON.stringify(JSON.parse(got)) === JSON.stringify(JSON.parse(want))
	return got === want
}

// --- the engines: rows in order, a batch at a time

async function* withHyparquet() {
	const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import('hyparquet')
	const { compressors } = await import('hyparquet-compressors')
	const buffer = await asyncBufferFromFile(file)
	const metadata = await parquetMetadataAsync(buffer)
	const parsers = {
		dateFromDays: (days) => BigInt(days),
		timestampFromMicroseconds: (microseconds) => microseconds,
		timestampFromMilliseconds: (milliseconds) => milliseconds,
		timestampFromNanoseconds: (nanoseconds) => nanoseconds,
		stringFromBytes: (bytes) => bytes && new TextDecoder().decode(bytes),
	}
	const names = Array.from(metadata.schema[0].num_children ? columnNames(metadata.schema) : [])
	const size = 20000
	for (let start = 0; start < Number(metadata.num_rows); start += size) {
		const rows = await parquetReadObjects({
			file: buffer, metadata, compressors, utf8: false, parsers, rowStart: start,
			rowEnd: Math.min(start + size, Number(metadata.num_rows)),
		})
		yield rows.map((row) => names.map((name) => row[name]))
	}
}

// The children of the root; what a group holds is passed over.
function* columnNames(schema) {
	for (let i = 1; i < schema.length;) {
		yield schema[i].name
		let left = 1
		for (; left > 0; i++) left += (schema[i].num_children ?? 0) - 1
	}
}

function duckdbExpression(name, kind, type) {
	const column = `"${name.replaceAll('"', '""')}"`
	const list = kind.endsWith('[]')
	const value = list ? 'x' : column
	const base = type.replace('[]', '')
	let said = `CAST(${value} AS VARCHAR)`
	if (base === 'DATE') said = `CAST(date_diff('day', DATE '1970-01-01', ${value}) AS VARCHAR)`
	else if (base.startsWith('TIMESTAMP')) said = `CAST(epoch_us(${value}) AS VARCHAR)`
	else if (base === 'TIME') said = `CAST(date_diff('microsecond', TIME '00:00:00', ${value}) AS VARCHAR)`
	else if (base === 'BLOB') said = `lower(hex(${value}))`
	else if (['BOOLEAN', 'FLOAT', 'DOUBLE'].includes(base)) said = value
	return list ? `list_transform(${column}, x -> ${said})` : said
}

async function* withDuckdb() {
	const { DuckDBInstance } = await import('@duckdb/node-api')
	const connection = await (await DuckDBInstance.create(':memory:')).connect()
	const from = `read_parquet('${file.replaceAll("'", "''")}')`
	await connection.run("SET TimeZone = 'UTC'")
	const described = (await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${from}`)).getRowsJson()
	const list = described.map(([name, type], i) => duckdbExpression(name, kinds[i], type)).join(', ')
	const result = await connection.stream(`SELECT ${list} FROM ${from}`)
	for (;;) {
		const chunk = await result.fetchChunk()
		if (!chunk || chunk.rowCount === 0) return
		yield chunk.getRows().map((row) => row.map((value) => value?.items ?? value))
	}
}

// --- the comparison

const lines = createInterface({ input: createReadStream(truth), crlfDelay: Infinity })[Symbol.asyncIterator]()
let rows = 0, values = 0, differ = 0

for await (const batch of engine === 'duckdb' ? withDuckdb() : withHyparquet()) {
	for (const row of batch) {
		const { value: line, done } = await lines.next()
		if (done) throw new Error(`the file has more rows than the ${rows} of the truth`)
		const want = JSON.parse(line)
		if (row.length !== kinds.length || want.length !== kinds.length)
			throw new Error(`${row.length} columns, ${want.length} in the truth, ${kinds.length} kinds`)
		kinds.forEach((kind, i) => {
			const got = plain(row[i], kind)
			values++
			if (same(got, want[i], kind)) return
			if (differ++ < 5) console.log(`row ${rows} column ${i}: ${JSON.stringify(got)}, not ${JSON.stringify(want[i])}`)
		})
		rows++
	}
}
if (!(await lines.next()).done) throw new Error(`the file has only ${rows} rows`)
console.log(`${rows} rows, ${kinds.length} columns, ${values} values, ${differ} differ`)
process.exit(differ ? 1 : 0)
