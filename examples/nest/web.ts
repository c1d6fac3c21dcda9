/** `POST /signups` with `{ "email": … }` publishes an event, which mail.ts consumes. Compiled to dist, for the decorators. */
import 'reflect-metadata'
import { BadRequestException, Body, Controller, HttpCode, type INestApplication, Module, Post } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { createBus, ValidationError } from 'omnibus'
import { mail, UserSignedUp } from './contracts.ts'

const bus = createBus({ declares: [mail] })

@Controller('signups')
class SignupsController {
  @Post()
  @HttpCode(202)
  async signUp(@Body() body: { email: string }): Promise<{ id: string }> {
    try {
      const { id } = await bus.publish(UserSignedUp, body)
      return { id }
    } catch (error) {
      throw error instanceof ValidationError ? new BadRequestException(error.message) : error
    }
  }
}

@Module({ controllers: [SignupsController] })
class AppModule {}

export default (): Promise<INestApplication> => NestFactory.create(AppModule, { logger: ['warn', 'error'] })
