/** Sizes of a ring that manifests, rows and the dataplane agree on: RING_SLOTS and RING_MEMBERS of bpf/lb_types.h. */
export const RING_SLOTS = 65_537
/** Backends of one service, drained ones included. */
export const RING_MEMBERS = 1024
