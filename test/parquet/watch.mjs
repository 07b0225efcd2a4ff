// usage: watch.mjs STOP-FILE SQL
// Asks DuckDB the same again and again until the file is there; prints each answer, a row of JSON per line, and "ERROR ..." for what fails.
import { existsSync } from 'node:fs'
import { DuckDBInstance } from '@duckdb/node-api'

const [stop, sql] = process.argv.slice(2)
const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
const connection = await instance.connect()

while (!existsSync(stop)) {
	try {
		const result = await connection.runAndReadAll(sql)
		for (const row of result.getRowsJson()) console.log(JSON.stringify(row))
	} catch (error) {
		console.log('ERROR ' + String(error.message).split('\n')[0])
	}
	await new Promise((done) => setTimeout(done, 40))
}
