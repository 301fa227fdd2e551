import { closeSync } from 'node:fs'

/** An open file descriptor of the kernel's, closed once. */
export class Descriptor implements Disposable {
  readonly fd: number
  #open = true

  constructor(fd: number) {
    this.fd = fd
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.fd)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
