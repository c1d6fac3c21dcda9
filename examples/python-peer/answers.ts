/** Consumes what the Flask app publishes. */
import { consume, on } from 'omnibus'
import { answers, GreetingAnswered } from './contracts.ts'

export default consume(
  answers,
  { deadLetter: true },
  on(GreetingAnswered, ({ data }) => {
    console.log(`answer to "${data.text}": ${data.answer}`)
  }),
)
