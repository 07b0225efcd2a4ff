// usage: duckdb_copy.mjs SOURCE TARGET THREADS REPETITIONS
// Loads a Parquet file into a table in memory and writes it as Parquet with zstd, so many times; prints the seconds of each.
import { DuckDBInstance } from '@duckdb/node-api'

const [source, target, threads, repetitions] = process.argv.slice(2)
const connection = await (await DuckDBInstance.create(':memory:')).connect()

await connection.run(`SET threads = ${Number(threads)}`)
await connection.run(`CREATE TABLE t AS SELECT * FROM '${source}'`)
for (let i = 0; i < Number(repetitions); i++) {
	const start = performance.now()
	await connection.run(`COPY t TO '${target}' (FORMAT parquet, COMPRESSION zstd)`)
	console.log(((performance.now() - start) / 1000).toFixed(3))
}
