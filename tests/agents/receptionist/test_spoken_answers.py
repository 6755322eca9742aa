"""What a newcomer hears who asks the receptionist without a model: a right sentence, or honestly none."""

import re

import pytest

from service.agents.knowledge.index import best, built
from service.agents.knowledge.passages import read_pages
from service.agents.knowledge.quoting import quote
from service.agents.knowledge.vocabulary import Vocabulary
from service.agents.library import SHIPPED

INDEX = built(read_pages(SHIPPED / "receptionist" / "knowledge"))
WORDS = Vocabulary(INDEX)


def answer(question: str) -> str | None:
    return quote(question, best(INDEX, WORDS, question, 3))


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("what are your opening hours", "Harbor Street is open.*Northgate is open.*Old Mill is open"),
        ("when are you open on saturday", "Northgate is open.*9 AM to 1 PM"),
        ("are you open on saturdays", "Northgate is open.*9 AM to 1 PM"),
        ("um so like uh do you guys open sundays or", "On Sunday all three locations are closed"),
        ("what time do you close on friday at harbor street", "Friday from 8 AM to 2 PM"),
        ("when does northgate open", "Northgate is open Monday to Friday from 9 AM"),
        ("how much is a check up", "85 dollars"),
        ("how much is a cleaning", "110 dollars"),
        ("what does a filling cost", "160 dollars"),
        ("how much do you charge for a crown", "1,250 dollars"),
        ("what's the price of an implant", "3,900 dollars"),
        ("how much is an x ray", "50 dollars"),
        ("how much is teeth whitening", "320 dollars"),
        ("how much does a root canal cost", "750 dollars"),
        ("do you speak spanish", "Spanish"),
        ("where are you located", "Harbor Street"),
        ("what is your address", "12 Harbor Street"),
        ("where is the northgate location", "480 Northgate Road"),
        ("where can i park at harbor street", "Quay Lane"),
        ("is there parking", "(?i)parking at"),
        ("are you taking new patients", "Yes, we take new patients"),
        ("who is the children's dentist", "Moretti"),
        ("do you see children", "Children may"),
        ("what is the pebble plan", "our own membership"),
        ("how much is the pebble plan", "348 dollars"),
        ("what insurance do you take", "We take the dental insurance"),
        ("do you take medicaid", "Medicaid"),
        ("do you take credit cards", "credit card"),
        ("can i pay in installments", "installments"),
        ("is old mill wheelchair accessible", "nine steps"),
        ("are you open on christmas eve", "closed on .*Christmas Eve"),
        ("are you open on thanksgiving", "closed on .*Thanksgiving"),
        ("how late can i come in the evening", "half past six"),
        ("does a root canal hurt", "should hurt"),
        ("how do i get to northgate by bus", "2, 4 and 7"),
        ("i knocked out my tooth what do i do", "by its crown"),
        ("i lost a filling", "keep the tooth clean"),
        ("i am scared of the dentist", "scared of the dentist"),
        ("do you have laughing gas", "75 dollars"),
        ("can i eat after a filling", "eat as soon"),
        ("my gums are bleeding", "gums"),
        ("when should my baby first see a dentist", "first birthday"),
        ("i am pregnant can i come", "you can and should come"),
        ("what should i bring to my first visit", "photo ID"),
        ("how long does a denture take", "five weeks"),
        ("do you do braces", "do not fit metal braces"),
        ("can i get a copy of my records", "may have a copy"),
        ("i want to complain", "want to complain, please tell us"),
        ("am i talking to a computer", "computer program"),
        ("what if i am late", "ten minutes late"),
        ("how often should i come for a check up", "twice a year"),
        ("i grind my teeth at night", "grind or clench"),
        ("who is doctor lindqvist", "Samuel Lindqvist"),
        ("how far ahead can i book", "sixty days"),
        ("my face is badly swollen and i cannot breathe", "Call 911"),
        ("i can't breathe", "Call 911"),
        ("my throat is swelling up", "Call 911"),
        ("the bleeding won't stop", "Call 911"),
        ("i have a terrible toothache", "Call us at once"),
        ("are you hiring", "we are hiring"),
        ("i have the flu can i still come", "do not come with the flu"),
        ("how much are dentures", "1,600"),
        ("what's the address of the harbor street office", "12 Harbor Street"),
        ("do you have parking at northgate", "three hours"),
        ("what is your phone number", "two oh seven"),
        ("who is the manager", "Ruth"),
        ("do you do implants", "[Ii]mplant"),
        ("what's your cancellation policy", "24 hours"),
        ("i think my child is unconscious", "Call 911"),
        ("i can't stop bleeding", "Call 911"),
        ("i'm having trouble breathing", "Call 911"),
    ],
)
def test_a_plain_question_is_answered_from_the_page(question: str, says: str) -> None:
    assert re.search(says, answer(question) or "")


@pytest.mark.parametrize(
    "question",
    [
        "what is the capital of france",
        "can you fix my car",
        "tell me a joke",
        "who won the game last night",
        "what is the weather tomorrow",
        "do you sell shoes",
        "do you sell pizza",
        "what does a haircut cost",
        "how much is a tattoo",
        "is doctor smith in today",
        "hello",
        "yes please",
        "thank you",
        "book me an appointment for tomorrow",
        "i would like to book an appointment",
        "can i make an appointment",
        "i need to cancel my appointment",
        "can i talk to a person",
        "are you open today",
        "how much is that",
        "can i bring my dog",
    ],
)
def test_what_no_page_says_or_nobody_can_do_is_not_answered(question: str) -> None:
    assert answer(question) is None
