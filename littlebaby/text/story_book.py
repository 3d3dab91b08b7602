'''The grammar of the nursery's stories.

The notation:

    look: brave, shy        a list of words
    once                    a rule, and below it its lines, of which one is chosen
        {hero} was ...
    (ran|walked)            one of these
    <look>                  one of that list or rule, chosen anew every time
    {hero}                  a role: chosen where it first occurs, and the same to the end of the story
    <a look> {his hero}     a form of the word (see `stories.form`): "an old", "her"

    friend = name except hero    a role, the list it is chosen from, and the roles from which it must differ
    finder = hero or friend      a role that is one of these roles of the same story
    (a role with the name of its list needs no such line)
'''

# In most lists no two words begin with the same letter: a model that has learned the words can complete each from its first letter.
BOOK = """
name: Ada, Ben, Dot, Eli, Gus, Pia, Sam, Zoe
animal: bear, cat, duck, elk, fox, goat, hare, lamb, mole, owl, pig, rat, seal, toad, yak
look: big, calm, eager, funny, happy, jolly, kind, little, merry, neat, old, quick, shy, tiny, wise
touch: clean, fine, heavy, little, new, odd, pretty, round, soft, tiny, warm
color: black, blue, brown, gold, green, pink, red, white, yellow
toy: ball, cup, drum, flag, hat, jug, kite, lamp, mask, net, pen, ring, sled, top, vest, wig
food: apple, bun, cake, date, egg, fig, honey, jam, kiwi, lime, melon, nut, pear, rice, tart, yam
thing: acorn, bean, coin, feather, key, leaf, mitten, pin, rag, shell, twig, worm
place: barn, cave, dock, farm, hill, inn, lake, mill, park, river, tower, well
where: behind, beside, near, under
mark: arch, bush, cart, door, fence, gate, log, oak, rock, stump, tent, wall
fun: baking, dancing, fishing, jumping, painting, reading, singing, walking
weather: cold, dry, foggy, hot, rainy, snowy, sunny, windy
when: day, evening, Friday, Monday, morning, Saturday, Sunday, Tuesday
went: crept, hopped, marched, raced, skipped, walked
said: called, laughed, said, sang
sad: gloomy, sad, upset, worried
glad: glad, happy, merry, proud
number: two, three, four, five, six, seven, eight, nine, ten
hour: bedtime, dark, noon, supper

hero = name
friend = name except hero
finder = hero or friend
kind = animal
other = animal except kind
shade = color
treat = food except food

story
    <once> <day> <meets> <plot>(| <night>)

once
    Once there was <a look> {kind} named {hero}.
    {hero} was <a look> {kind} who liked <fun>.
    {hero} the {kind} lived <where> a <color> <mark>.

day
    One <weather> <when> {hero} <went> to the {place}.
    {hero} <went> to the {place} with <a touch> <color> <thing>.

meets
    There {hero} met {friend}, <a look> {other}.
    There {hero} met {friend} the {other} with <some food>.

plot
    <lost> <search> <found>
    <lunch> <hungry> <gives>
    <race> <run> <win>
    <party> <wraps> <opens>

lost
    {hero} had {a shade} {toy}, but the wind took the {toy}.
    "Where is my {shade} {toy}?" {hero} asked {friend}.

search
    {hero} and {friend} looked <where> the <mark>, but saw only <a touch> <color> <thing>.
    {hero} and {friend} asked <a look> <animal> and <a look> <animal>.
    "I will help you," {friend} <said>.

found
    Then {finder} saw the {toy} <where> the <mark>. {finder} was <glad>.
    At last {finder} found the {shade} {toy} <where> a <color> <mark>.

lunch
    {hero} had {some food} and {some treat} in a <color> bag.
    "I have {some food} and {some treat}," {hero} <said>.

hungry
    "<A look> <animal> took my lunch," {friend} said.
    {friend} was hungry and <sad>.

gives
    {hero} gave {friend} the {food} and ate the {treat}. {friend} was <glad>.
    {hero} ate the {food} and gave {friend} the {treat}. {hero} and {friend} <went> home.
    {hero} gave {friend} the {food}, the {treat} and <a touch> <color> <toy>.

race
    "Let us race to the <place>!" {friend} <said>.
    {friend} wanted to race to the <place>.

run
    {hero} jumped over <a touch> <color> <thing>, and {friend} over <number>.
    {hero} and {friend} ran past <a look> <animal> and <a look> <animal>.

win
    {finder} was first and won <a touch> <color> <toy>.
    But {finder} fell over <a color> <thing> and was <sad>.

party
    It was the birthday of {friend}.
    {friend} was <number> that <when>.

wraps
    {hero} had {a shade} {toy} for {friend} in a <color> (bag|box).
    {hero} hid {a shade} {toy} <where> a <color> <mark>.

opens
    "{A shade} {toy}!" {friend} <said>. {hero} and {friend} played until <hour>.
    {friend} liked the {toy} and gave {hero} <some food>.

night
    That night {hero} dreamed of <a look> <animal> and <a touch> <color> <toy>.
    At night {hero} told <a look> <animal> about {friend}.
    Then it was night, and {hero} slept in {his hero} <color> bed.
"""
