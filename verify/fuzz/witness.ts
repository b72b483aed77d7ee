/** Right requests whose answers must stay what they are. */
import { diceOf } from './dice.js';
import { question, v2Body } from './questions.js';
import type { Stage } from './stage.js';

const REQUESTS = 40;

/** The answers of the gateway and of the model server to the same requests, as one text. */
export async function witness({ gateway, runtime }: Stage): Promise<string> {
  const dice = diceOf(1);
  const answers: string[] = [];
  for (let at = 0; at < REQUESTS; at++) {
    const asked = question(dice);
    const { body } = v2Body(asked, false);
    for (const url of [gateway.url, runtime.url]) {
      const headers = { authorization: `Bearer ${gateway.key}` };
      const answer = await fetch(`${url}/v2/models/${asked.model}/infer`, { method: 'POST', headers, body });
      answers.push(`${answer.status} ${await answer.text()}`);
    }
  }
  return answers.join('\n');
}
