"""What is never derived from what somebody writes: health, religion, politics, sexuality, union, ethnicity.

The law asks for more than consent here (GDPR article 9), networks forbid it, and a shop needs none of it. Wherever a topic
could come out of a text (names that are looked for, hashtags, nearness of meaning, ties of a post) it is asked ``refused``
first. An item that has such a topic is not looked for either: being named would tell the topic.
"""

from __future__ import annotations

from functools import lru_cache

from plait.folding import folded, is_run

# Whole words, and beginnings of words (with *); folded. Several words stand for themselves in this order.
_WORDS: dict[str, str] = {
    "health": """
        health* gesundheit* sante salud* salute saude gezondheid zdrowi* saglik* здоров* 健康 医療 医疗 건강 diabet* cancer krebs
        tumor* oncolog* depressi* anxiety angststorung* autis* adhd adhs hiv epilep* dementia demenz* alzheimer* obes*
        adipos* disabilit* behinderung* handicapped discapacidad* illness* disease* krankheit* maladie* enfermedad*
        malattia* doenca* ziekte* chorob* hastalik* болезн* pregnan* schwanger* enceinte grossesse embaraz* gravid* zwanger*
        ciaz* hamile* беременн* 妊娠 怀孕 孕妇 fertility infertil* menopaus* mental* therap* addiction* suchtkrank* medication*
        medikament* medicament* prescription* asthma* arthriti* incontinen* 糖尿病 癌症 がん 鬱 抑郁 диабет* рак
        депресси* kranke kranker
    """,
    "religion": """
        religi* faith* glaube* christian* christlich* chretien* cristian* christen* church* kirche* eglise* iglesia* chiesa*
        cathol* katholi* catoli* cattoli* protestant* evangelic* evangelisch* islam* muslim* musulman* moslim* mosque* moschee*
        quran* koran* ramadan* halal kosher koscher casher jewish judai* judisch* juif* juive* judio* ebreo* ebrai* synagog* bible*
        bibel* biblia* buddh* hindu* sikh* atheis* prayer* gebet* priere* namaz церков* ислам* мусульман* христиан*
        правосл* иуде* 宗教 仏教 佛教 基督教 伊斯兰 イスラム 教会 教堂 기독교 불교 이슬람
    """,
    "politics": """
        politic* politik* polityk* politiek* politiq* election* elections* wahlkampf* partei* parti partis parteien republican* democrat*
        conservative* liberals socialis* sozialis* communis* kommunis* comunis* fascis* faschis* labour party* tory tories
        green party* afd cdu spd fdp brexit* pegida* antifa* ideolog* activis* политик* выборы партия 政治 政党 选举 選挙 정치
        propaganda parlament* parliament*
    """,
    "sexuality": """
        sexual* sexuel* sessual* seksual* seksuel* sex sexy gay gays lesb* lgbt* queer* transgender* transsex* bisexual* homosex*
        heterosex* homoseks* asexual* polyamor* erotic* erotik* fetish* fetisch* гей лесби* сексуал* 同性恋 同性愛 レズ ゲイ 게이
    """,
    "union": """
        trade union* labour union* labor union* trade unions* unionist* gewerkschaft* syndica* syndicat* sindica* sindaca*
        vakbond* zwiazki zawodowe zwiazek zawodowy sendika* профсоюз* 労働組合 工会 노동조합
    """,
    "ethnicity": """
        ethnic* ethni* etnic* etni* racial* african american* black people* hispanic* latino latina latinx indigenous* aborigin*
        romani sinti kurd* arabs migrant* immigrant* migrationshintergrund этнич* 民族 人種 种族 인종
    """,
}  # fmt: skip

_ALONE: dict[str, str] = {}
_BEGINNINGS: dict[int, dict[str, str]] = {}
_PHRASES: list[tuple[str, str]] = []


def _learn() -> None:
    for category, text in _WORDS.items():
        for line in text.split("\n"):
            words = line.split()
            at = 0
            while at < len(words):
                word = words[at]
                pair = f"{word} {words[at + 1]}" if at + 1 < len(words) else ""
                if pair.rstrip("*") in _PAIRS:
                    _PHRASES.append((pair.rstrip("*"), category))
                    at += 2
                    continue
                if word.endswith("*"):
                    _BEGINNINGS.setdefault(len(word) - 1, {})[word[:-1]] = category
                else:
                    _ALONE[word] = category
                at += 1


_PAIRS = frozenset(
    (
        "trade union", "trade unions", "labour union", "labor union", "labour party", "green party", "african american",
        "black people", "zwiazki zawodowe", "zwiazek zawodowy",
    )
)  # fmt: skip
_learn()
# Begin like a word above and mean nothing of the kind.
_FINE = frozenset(("partie", "parties", "partial", "particle", "partition", "healthcheck"))


@lru_cache(maxsize=20_000)
def refused(topic: str) -> str | None:
    """The special category that a topic belongs to, ``None`` when it may be derived.

    Args:
        topic: its name, or a hashtag, in any spelling.
    """
    line = folded(topic)
    for phrase, category in _PHRASES:
        if f" {phrase}" in f" {line}":
            return category
    joined = line.replace(" ", "")
    for word in (*line.split(), joined):
        if not word or word in _FINE:
            continue
        if word in _ALONE:
            return _ALONE[word]
        for length, known in _BEGINNINGS.items():
            if word[:length] in known:
                return known[word[:length]]
        if is_run(word[0]):
            for one, category in _ALONE.items():
                if is_run(one[0]) and one in word:
                    return category
    return None
