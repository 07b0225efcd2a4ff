// usage: duckdb.mjs SQL...
// Runs statements in DuckDB, in memory; prints the rows of each as JSON lines.
import { DuckDBInstance } from '@duckdb/node-api'

const instance = await DuckDBInstance.create(':memory:')
const connection = await instance.connect()

await connection.run("SET TimeZone = 'UTC'")
for (const statement of process.argv.slice(2)) {
	const result = await connection.runAndReadAll(statement)
	for (const row of result.getRowsJson()) console.log(JSON.stringify(row))
}
