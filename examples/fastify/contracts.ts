import { event, queue } from 'omnibus'
import { z } from 'zod'

export const UserSignedUp = event('user.signed-up.v1', { schema: z.object({ email: z.email() }) })
export const mail = queue('mail', { listensTo: [UserSignedUp] })
