import { converge } from '../../contract.ts'
import { open } from './lab.ts'
import { RESTLESS } from './restless-tables.ts'

/** Goes from one table to the other until it is killed, and says so when it begins. */
console.log('on the way')
for (let i = 0; ; i++) await converge<'ipvs'>(open(), RESTLESS[i % RESTLESS.length]!)
