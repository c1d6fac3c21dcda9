import { consume, on } from 'omnibus'
import { mail, UserSignedUp } from './contracts.ts'

export default consume(
  mail,
  { deadLetter: true },
  on(UserSignedUp, ({ data }) => console.log(`welcome, ${data.email}`)),
)
