import type { Problem } from '../core/errors.ts'

/** Says that there is nothing at `path`, unless there is something that cannot be used: that was said where it was read. */
export function reportMissing(path: string, expected: string, problems: Problem[]): void {
  if (!problems.some((problem) => problem.path === path)) problems.push({ path, expected, got: 'nothing' })
}
