import { serviceId } from '../../../schemas/address.ts'
import type { RowKey } from '../../../schemas/node-state.ts'
import type { ServiceKey } from './layout.ts'

export const serviceRowKey = ({ vip, port, endPort, protocol }: ServiceKey): RowKey =>
  `service/${serviceId(vip, port, protocol, endPort)}`
