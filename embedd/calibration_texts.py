"""The texts whose vectors say how large a model's numbers are: short and long, plain and odd, of many kinds.

Invariant: never changed without a new format number in ``embedd.calibration``, or stored scales would differ
from new ones.
"""

_TEXTS = """\
red

the

42

?

ok

Paris

photosynthesis

How do I reset my password?

what is the capital of Mongolia

best time to plant tomatoes

who wrote the first dictionary of the English language

error code 0x80070057

python list comprehension with two conditions

symptoms of vitamin D deficiency in adults

cheap flights from Lisbon to Oslo in March

Why is the sky blue during the day and red at sunset?

The cat slept on the warm windowsill while rain fell outside.

Interest rates were left unchanged for the third meeting in a row.

She tightened the last bolt, stepped back, and listened to the engine.

Water boils at a lower temperature on a high mountain because the air presses on it less.

The committee approved the budget by seven votes to two, with one member abstaining.

A triangle with sides of three, four and five units has a right angle.

Please find attached the invoice for the work done in October.

I never said that she took the money.

It was the worst meal we have had in years, and the waiter could not have cared less.

Absolutely wonderful service, friendly staff and the best coffee in town!

Mix the flour and the salt, add the water slowly, and knead the dough for ten minutes until it is
smooth. Cover it with a damp cloth and leave it in a warm place until it has doubled in size.

The parties agree that any dispute arising out of this contract shall be settled by arbitration,
that the place of arbitration shall be Geneva, and that the award shall be final and binding upon
both of them.

The patient, a man of 63 years, was admitted with chest pain that had begun two hours before. He was
given aspirin, the electrocardiogram was repeated, and he was transferred for coronary angiography.

In the spring of that year the river rose higher than anyone could remember. It carried away the
bridge, two barns and the greater part of the lower orchard, and when it fell again the meadows lay
under a hand's breadth of grey silt, out of which in June the tallest grass grew that the valley had
ever seen.

Plate tectonics explains how the outer shell of the Earth is broken into large pieces that move
slowly over the hotter rock below. Where they part, new sea floor is made; where they meet, one
dives under the other, mountains are raised, and earthquakes and volcanoes are common.

The stock fell by four per cent after the company warned that sales in the second half would be
lower than expected, blaming a shortage of parts and a strike at its largest plant.

The treaty was signed in 1648 after years of negotiation in two cities, and ended three decades of
war.

A neutron star packs more than the mass of the Sun into a ball no wider than a city.

The goalkeeper saved two penalties, yet the team lost the final in extra time.

The violin enters alone, over a held note in the cellos, and the theme returns a fifth higher.

Honey bees tell each other where flowers are by dancing on the comb.

To install the package, run the setup script with administrator rights and restart the service.

def add(a, b):
    return a + b

SELECT name, COUNT(*) FROM orders GROUP BY name HAVING COUNT(*) > 10 ORDER BY 2 DESC;

for (int i = 0; i < n; ++i) { sum += values[i] * weights[i]; }

{"id": 17, "status": "failed", "retry": true, "tags": ["a", "b"]}

<div class="card"><h2>Title</h2><p>Some text</p></div>

java.lang.NullPointerException at com.example.App.main(App.java:12)

2026-03-14T09:26:53Z WARN disk usage at 91 % on /dev/sda1

https://example.org/path/to/page?id=5#section

name: build
on: [push]
jobs:
  test:
    runs-on: linux

E = mc^2

3.14159 26535 89793 23846

1. milk 2. bread 3. eggs 4. butter

Q3 2025 | revenue | 4.1 | 3.8 | +7.9 %

Section 4.2.1: Limits of liability

TO WHOM IT MAY CONCERN

lol thx, see u tmrw :)

!!! ??? ...

a a a a a a a a a a a a a a a a

Lorem ipsum dolor sit amet, consectetur adipiscing elit.

Wo finde ich die nächste Apotheke?

Die Lieferung verzögert sich wegen des Streiks um etwa zwei Wochen.

La bibliothèque est fermée le lundi et les jours fériés.

¿Cuánto cuesta un billete de ida y vuelta a Sevilla?

Il treno per Bologna parte dal binario sei.

O navio chegou ao porto ao amanhecer.

Погода завтра будет холодной и ветреной.

明日の会議は午後三時に始まります。

这本书讲述了一个家庭三代人的故事。

오늘 저녁에 같이 영화를 볼까요?

الكتاب على الطاولة بجانب النافذة.

मुझे कल सुबह जल्दी उठना है।
"""

CALIBRATION_TEXTS = tuple(_TEXTS.strip().split("\n\n"))
