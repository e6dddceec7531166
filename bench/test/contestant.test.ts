import { expect, test } from 'vitest'
import { type Contestant, measureInterleaved, startContestant } from '../src/contestant.ts'

/** A contestant in the shell that answers every line with `answer`. */
function shell(answer: string): Contestant {
  return startContestant({
    name: 'shell',
    command: ['/bin/sh', '-c', `while read line; do ${answer}; done`],
  })
}

test('startContestant() starts a process that answers each question with a number', async () => {
  using contestant = shell('n=$((n + 1)); echo $n')
  expect([await contestant.measure(), await contestant.measure()]).toEqual([1, 2])
})

test('measure() says why there is no number: its last words, its status, or that it is not installed', async () => {
  using complains = shell('echo no luck >&2; sleep 0.1; exit 1')
  await expect(complains.measure()).rejects.toThrow('no luck')
  using silent = shell('exit 3')
  await expect(silent.measure()).rejects.toThrow('ended without an answer (status 3)')
  using wordy = shell('echo soon')
  await expect(wordy.measure()).rejects.toThrow('answered soon')
  using absent = startContestant({ name: 'absent', command: ['/none/such'] })
  await expect(absent.measure()).rejects.toThrow('/none/such is not installed')
})

test('measureInterleaved() gives every contestant every round, another one first each time, after a warm-up', async () => {
  const [order, warmUps]: [string[], string[]] = [[], []]
  let isWarm = false
  const contestants = ['a', 'b', 'c'].map((name) => ({
    name,
    async measure() {
      if (isWarm) order.push(name)
      else warmUps.push(name)
      return order.length
    },
    [Symbol.dispose]() {},
  }))
  const results = await measureInterleaved(contestants, 3, () => (isWarm = true), 0)
  expect(warmUps.join('')).toBe('abc')
  expect(order.join('')).toBe('abcbcacab')
  expect(results.get('a')).toEqual([1, 6, 8])
})
