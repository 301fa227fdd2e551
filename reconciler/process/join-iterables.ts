/** What several sources give, as it comes; ends when all of them have. */
export async function* joinIterables<Value>(sources: readonly AsyncIterable<Value>[]): AsyncIterable<Value> {
  const iterators = sources.map(source => source[Symbol.asyncIterator]())
  const ask = (place: number) => iterators[place]!.next().then(result => ({ place, result }))
  const asked = new Map(iterators.map((_, place) => [place, ask(place)]))
  while (asked.size > 0) {
    const { place, result } = await Promise.race(asked.values())
    if (result.done === true) asked.delete(place)
    else {
      asked.set(place, ask(place))
      yield result.value
    }
  }
}
