#!/usr/bin/env bun
/** The `solo` command. */
import { main } from './cli/app.ts'

process.exitCode = await main(process.argv.slice(2))
